-- Ids are UUIDs in 16 bytes, times INTEGER microseconds since 1970 (UTC), digests 32 bytes. Every row carries its tenant.
-- Nowhere: media, text content, digests of content.

CREATE TABLE tenants (
    id         BLOB    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The tenant of a server that serves only one (TenantId::DEFAULT).
INSERT INTO tenants (id, name, created_at)
VALUES (x'00000000000000000000000000000001', 'default', unixepoch() * 1000000);

-- Keys are 256 random bits, so plain SHA-256 is right: there is no dictionary to try, and a slow hash would only slow every request down.
CREATE TABLE keys (
    tenant_id     BLOB    NOT NULL REFERENCES tenants (id),
    id            BLOB    NOT NULL,
    name          TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    secret_sha256 BLOB    NOT NULL UNIQUE,
    created_at    INTEGER NOT NULL,
    revoked_at    INTEGER,
    PRIMARY KEY (tenant_id, id)
) STRICT;

-- The chain: see engines::ledger. Payload and key are erased together.
CREATE TABLE ledger (
    tenant_id      BLOB    NOT NULL REFERENCES tenants (id),
    seq            INTEGER NOT NULL,
    id             BLOB    NOT NULL,
    at             INTEGER NOT NULL,
    kind           TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    payload        TEXT,
    payload_key    BLOB,
    payload_digest BLOB    NOT NULL,
    previous       BLOB    NOT NULL,
    hash           BLOB    NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    UNIQUE (tenant_id, id),
    CHECK ((payload IS NULL) = (payload_key IS NULL))
) STRICT;

-- Where each chain ends: what a chain alone cannot show is that its end was cut off.
CREATE TABLE ledger_heads (
    tenant_id BLOB    NOT NULL PRIMARY KEY REFERENCES tenants (id),
    seq       INTEGER NOT NULL,
    hash      BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE review_items (
    tenant_id        BLOB    NOT NULL REFERENCES tenants (id),
    id               BLOB    NOT NULL,
    created_at       INTEGER NOT NULL,
    queue            TEXT    NOT NULL,
    priority         REAL    NOT NULL,
    category         TEXT    NOT NULL,
    attachment_kind  TEXT    NOT NULL,
    item_id          TEXT    NOT NULL, -- the provider's reference
    evidence         TEXT    NOT NULL, -- JSON
    decision         TEXT    NOT NULL, -- JSON, the machine's
    state            TEXT    NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'decided')),
    claimed_by       BLOB,
    claimed_at       INTEGER,
    claim_expires_at INTEGER,
    PRIMARY KEY (tenant_id, id),
    CHECK ((claimed_by IS NULL) = (claimed_at IS NULL) AND (claimed_by IS NULL) = (claim_expires_at IS NULL))
) STRICT;

CREATE INDEX review_items_of_queue ON review_items (tenant_id, state, queue, priority DESC, created_at, id);
CREATE INDEX review_items_of_all ON review_items (tenant_id, state, priority DESC, created_at, id);

CREATE TABLE review_decisions (
    tenant_id   BLOB    NOT NULL,
    review_item BLOB    NOT NULL,
    reviewer    BLOB    NOT NULL,
    verdict     TEXT    NOT NULL,
    note_code   TEXT,
    decided_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, review_item),
    FOREIGN KEY (tenant_id, review_item) REFERENCES review_items (tenant_id, id)
) STRICT;

-- All that a clean attachment leaves. No reference to tenants: the sums of many units of work are written at once, and one unknown tenant
-- must not fail the others.
CREATE TABLE counters (
    tenant_id  BLOB    NOT NULL,
    hour       INTEGER NOT NULL, -- start of the hour
    technology TEXT    NOT NULL,
    label      TEXT    NOT NULL,
    slice      TEXT    NOT NULL,
    bin        INTEGER NOT NULL,
    count      INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, hour, technology, label, slice, bin)
) STRICT, WITHOUT ROWID;

CREATE TABLE idempotency (
    tenant_id   BLOB    NOT NULL REFERENCES tenants (id),
    key         TEXT    NOT NULL,
    body_digest BLOB    NOT NULL, -- keyed
    status      INTEGER NOT NULL,
    body        BLOB    NOT NULL, -- of the response
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, key)
) STRICT;

CREATE INDEX idempotency_expiry ON idempotency (expires_at);

-- `number` is what millions of signals refer to; `id` is what the world sees.
-- Content ids 1..=signals are published; higher ones belong to an import under way, or to one that died (import_token, import_until).
CREATE TABLE banks (
    number          INTEGER NOT NULL PRIMARY KEY,
    tenant_id       BLOB    NOT NULL REFERENCES tenants (id),
    id              BLOB    NOT NULL UNIQUE,
    name            TEXT    NOT NULL,
    version         INTEGER NOT NULL, -- 0 until the first import is finished: not visible
    enabled         INTEGER NOT NULL,
    max_distance    INTEGER NOT NULL,
    minimum_quality INTEGER NOT NULL,
    signals         INTEGER NOT NULL,
    created_at      INTEGER NOT NULL,
    import_token    BLOB,
    import_until    INTEGER,
    UNIQUE (tenant_id, name)
) STRICT;

CREATE TABLE bank_signals (
    tenant_id   BLOB    NOT NULL,
    bank        INTEGER NOT NULL REFERENCES banks (number),
    content_id  INTEGER NOT NULL,
    signal_type TEXT    NOT NULL,
    signal      BLOB    NOT NULL,
    PRIMARY KEY (bank, content_id)
) STRICT, WITHOUT ROWID;

-- Each signal once per bank. A table of its own instead of an index, so that an import fills it in the order of the signals: hashes are random,
-- and a thousand random places cost a thousand pages where a thousand neighbours cost ten.
CREATE TABLE bank_signal_keys (
    bank        INTEGER NOT NULL REFERENCES banks (number),
    signal_type TEXT    NOT NULL,
    signal      BLOB    NOT NULL,
    content_id  INTEGER NOT NULL,
    tenant_id   BLOB    NOT NULL,
    PRIMARY KEY (bank, signal_type, signal)
) STRICT, WITHOUT ROWID;

-- Append-only: how a server learns what another process changed.
CREATE TABLE bank_changes (
    seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB    NOT NULL REFERENCES tenants (id),
    bank      BLOB    NOT NULL REFERENCES banks (id),
    version   INTEGER NOT NULL,
    signals   INTEGER NOT NULL,
    at        INTEGER NOT NULL
) STRICT;
