-- Exchanges that are followed: each fills the bank of its name. No credentials: they are in the environment or in files.
CREATE TABLE exchanges (
    number        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id     BLOB    NOT NULL REFERENCES tenants (id),
    name          TEXT    NOT NULL,
    api           TEXT    NOT NULL,
    settings      TEXT    NOT NULL, -- JSON, what the API wants to know
    enabled       INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    checkpoint    TEXT,             -- JSON, where the next page begins
    progress      INTEGER,          -- how far the list was read, in the exchange's time
    generation    INTEGER NOT NULL DEFAULT 0, -- grows when the list is read from its beginning
    started_at    INTEGER,          -- while a fetch is under way
    completed_at  INTEGER,          -- of the last fetch, whatever became of it
    succeeded     INTEGER,
    up_to_date    INTEGER NOT NULL DEFAULT 0,
    failures      INTEGER NOT NULL DEFAULT 0, -- one after another
    failure       TEXT,
    skipped       INTEGER NOT NULL DEFAULT 0, -- signals of types that are not matched, since the beginning of the list
    bad           INTEGER NOT NULL DEFAULT 0, -- records that could not be read
    opinions_seq  INTEGER NOT NULL DEFAULT 0, -- opinions up to here are in the outbox
    lease         BLOB,
    lease_until   INTEGER,
    UNIQUE (tenant_id, name)
) STRICT;

-- Which items an entry of the exchange stands for: several, when its signals were in the bank already, and one item may stand for several entries.
CREATE TABLE exchange_entries (
    exchange   INTEGER NOT NULL REFERENCES exchanges (number),
    key        TEXT    NOT NULL,
    content_id INTEGER NOT NULL,
    reference  TEXT,
    generation INTEGER NOT NULL,
    PRIMARY KEY (exchange, key, content_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX exchange_entries_of_item ON exchange_entries (exchange, content_id);
CREATE INDEX exchange_entries_of_generation ON exchange_entries (exchange, generation);

-- What has to be told to an exchange: of each entry the newest word.
CREATE TABLE exchange_outbox (
    exchange   INTEGER NOT NULL REFERENCES exchanges (number),
    key        TEXT    NOT NULL,
    content_id INTEGER NOT NULL,
    reference  TEXT,
    opinion    TEXT    NOT NULL CHECK (opinion IN ('confirm', 'dispute')),
    queued_at  INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    next_at    INTEGER NOT NULL,
    sent_at    INTEGER,
    failure    TEXT,
    given_up   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (exchange, key, content_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX exchange_outbox_due ON exchange_outbox (next_at) WHERE sent_at IS NULL AND given_up = 0;
