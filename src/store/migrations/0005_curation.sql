-- Banks that people curate. `number` of a bank is part of ids that other programs keep, so it is never used again: a deleted bank keeps its row, under
-- a name that no bank can have. `enabled_ratio` is the share of lookups that search the bank; 0 is disabled.
ALTER TABLE banks ADD COLUMN enabled_ratio REAL NOT NULL DEFAULT 1.0 CHECK (enabled_ratio >= 0.0 AND enabled_ratio <= 1.0);
ALTER TABLE banks ADD COLUMN purpose TEXT NOT NULL DEFAULT 'known' CHECK (purpose IN ('known', 'negative'));
ALTER TABLE banks ADD COLUMN radii TEXT NOT NULL DEFAULT '{}'; -- JSON, by signal type
ALTER TABLE banks ADD COLUMN admission TEXT NOT NULL DEFAULT '{}'; -- JSON
ALTER TABLE banks ADD COLUMN deleted_at INTEGER;
ALTER TABLE banks ADD COLUMN further_signals INTEGER NOT NULL DEFAULT 0; -- of the published ones, those that are not the first of their item
UPDATE banks SET enabled_ratio = enabled;
ALTER TABLE banks DROP COLUMN enabled;

-- Signals are numbered 1, 2, 3, … in a bank. Signals of one item follow one another, and its content id is the number of the first; `content_id` says
-- which it is for the others, and is NULL for the first.
ALTER TABLE bank_signals RENAME COLUMN content_id TO number;
ALTER TABLE bank_signals ADD COLUMN content_id INTEGER;
ALTER TABLE bank_signal_keys RENAME COLUMN content_id TO number;

-- What there is to say of an item. Most items of large imports have no row: they are active, since their import.
CREATE TABLE bank_items (
    tenant_id     BLOB    NOT NULL,
    bank          INTEGER NOT NULL REFERENCES banks (number),
    content_id    INTEGER NOT NULL,
    standing      TEXT    NOT NULL DEFAULT 'active'
        CHECK (standing IN ('candidate', 'vetted', 'active', 'disputed', 'quarantined', 'retired')),
    disable_until INTEGER NOT NULL DEFAULT 0, -- seconds since 1970; 0 is in force, 1 is out of force until somebody says otherwise
    note          TEXT,
    metadata      TEXT, -- JSON
    category      TEXT,
    quality       INTEGER,
    created_at    INTEGER,
    released_at   INTEGER, -- when a person last said that it matches rightly, after a flood
    PRIMARY KEY (bank, content_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX bank_items_of_standing ON bank_items (bank, standing, content_id);
CREATE INDEX bank_items_coming_back ON bank_items (disable_until) WHERE disable_until > 1;

INSERT INTO bank_items (tenant_id, bank, content_id, standing, disable_until)
SELECT tenant_id, bank, content_id, CASE state WHEN 'removed' THEN 'retired' ELSE 'active' END, state = 'disabled'
FROM bank_item_states AS states WHERE version =
    (SELECT max(version) FROM bank_item_states WHERE bank = states.bank AND content_id = states.content_id);

-- What is said of the signals of imports: of first..=last the same. Each import also has a row for itself, with first 0, that says nothing of any signal:
-- its `last` is NULL until the import is finished.
CREATE TABLE bank_imports (
    number    INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB    NOT NULL,
    bank      INTEGER NOT NULL REFERENCES banks (number),
    first     INTEGER NOT NULL,
    last      INTEGER,
    source    TEXT,
    submitter TEXT,
    category  TEXT,
    at        INTEGER NOT NULL
) STRICT;

CREATE INDEX bank_imports_of_bank ON bank_imports (bank, first);

-- Who names an item, beside its import. `import` is set for what an import found in the bank already; it counts when that import is finished. A source
-- that takes its word back has `withdrawn_at`, also when its word was an import's.
CREATE TABLE bank_item_sources (
    tenant_id    BLOB    NOT NULL,
    bank         INTEGER NOT NULL REFERENCES banks (number),
    content_id   INTEGER NOT NULL,
    source       TEXT    NOT NULL,
    submitter    TEXT,
    import       INTEGER,
    at           INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;

-- A number is no text, so no submitter is taken for the absence of one.
CREATE UNIQUE INDEX bank_item_sources_once ON bank_item_sources (bank, content_id, source, ifnull(submitter, 0));
CREATE INDEX bank_item_sources_of_import ON bank_item_sources (import) WHERE import IS NOT NULL;

-- What people and exchanges say of items. The newest word of each counts; `seq` grows with every word, so that it can be followed.
CREATE TABLE bank_opinions (
    seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id  BLOB    NOT NULL,
    bank       INTEGER NOT NULL REFERENCES banks (number),
    content_id INTEGER NOT NULL,
    source     TEXT    NOT NULL CHECK (source IN ('review', 'appeal', 'curator', 'exchange')),
    who        TEXT    NOT NULL, -- a key's id, or a member of an exchange
    opinion    TEXT    NOT NULL CHECK (opinion IN ('confirm', 'dispute')),
    at         INTEGER NOT NULL,
    UNIQUE (bank, content_id, source, who)
) STRICT;

-- Which keys may use a bank, where not every key with the role may.
CREATE TABLE bank_access (
    tenant_id BLOB    NOT NULL,
    bank      INTEGER NOT NULL REFERENCES banks (number),
    key       BLOB    NOT NULL,
    may       TEXT    NOT NULL CHECK (may IN ('match', 'curate')),
    PRIMARY KEY (bank, key, may),
    FOREIGN KEY (tenant_id, key) REFERENCES keys (tenant_id, id)
) STRICT, WITHOUT ROWID;

-- How often an item matched, by hour.
CREATE TABLE bank_hits (
    bank       INTEGER NOT NULL REFERENCES banks (number),
    content_id INTEGER NOT NULL,
    hour       INTEGER NOT NULL, -- start of the hour
    hits       INTEGER NOT NULL,
    PRIMARY KEY (bank, content_id, hour)
) STRICT, WITHOUT ROWID;

CREATE INDEX bank_hits_of_hour ON bank_hits (hour);

-- A review item stands for `count` attachments: itself and those that matched the same and were put to it. `item_ids` are the newest of their
-- references, JSON. `subject` is the item of a bank that is to be looked at, where it is no attachment: JSON, [bank, content id].
ALTER TABLE review_items ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
ALTER TABLE review_items ADD COLUMN item_ids TEXT NOT NULL DEFAULT '[]';
ALTER TABLE review_items ADD COLUMN subject TEXT;

CREATE INDEX review_items_of_subject ON review_items (tenant_id, subject) WHERE subject IS NOT NULL;

-- How many attachments the decision was about.
ALTER TABLE observations ADD COLUMN count INTEGER NOT NULL DEFAULT 1;

-- What later attachments must have matched to be put to an open review item.
CREATE TABLE review_clusters (
    tenant_id   BLOB    NOT NULL,
    key         TEXT    NOT NULL,
    review_item BLOB    NOT NULL,
    started_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX review_clusters_of_item ON review_clusters (tenant_id, review_item);

-- The share of lookups in which signals of a type take part, whatever the banks say; a type without a row takes part in all.
CREATE TABLE signal_types (
    tenant_id     BLOB NOT NULL REFERENCES tenants (id),
    signal_type   TEXT NOT NULL,
    enabled_ratio REAL NOT NULL CHECK (enabled_ratio BETWEEN 0 AND 1),
    PRIMARY KEY (tenant_id, signal_type)
) STRICT, WITHOUT ROWID;
