-- What live monitoring needs of an item: whom it stands for, and why it is here. `flags` is a JSON list of [technology, label]: what reached its
-- threshold, so that open flags can be counted without reading evidence.
ALTER TABLE review_items ADD COLUMN service TEXT;
ALTER TABLE review_items ADD COLUMN cluster TEXT; -- keyed pseudonym
ALTER TABLE review_items ADD COLUMN flags TEXT NOT NULL DEFAULT '[]';
ALTER TABLE review_items ADD COLUMN purpose TEXT NOT NULL DEFAULT 'routed' CHECK (purpose IN ('routed', 'audit', 'double', 'gold'));
ALTER TABLE review_items ADD COLUMN inclusion_probability REAL NOT NULL DEFAULT 1.0
    CHECK (inclusion_probability > 0.0 AND inclusion_probability <= 1.0);
ALTER TABLE review_items ADD COLUMN copy_of BLOB; -- the item that a double or gold item repeats
ALTER TABLE review_items ADD COLUMN gold_truth TEXT CHECK (gold_truth IN ('confirmed', 'rejected')); -- never shown to reviewers

-- An item comes back once.
CREATE UNIQUE INDEX review_items_doubles ON review_items (tenant_id, copy_of) WHERE purpose = 'double';
CREATE INDEX review_items_audits ON review_items (tenant_id, created_at) WHERE purpose = 'audit';
CREATE INDEX review_items_gold ON review_items (tenant_id, created_at) WHERE purpose = 'gold';

-- One row for each technology and label of each decided item, append-only, written with the decision. Never of double or gold items.
CREATE TABLE observations (
    seq                   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id             BLOB    NOT NULL,
    review_item           BLOB    NOT NULL,
    technology            TEXT    NOT NULL,
    label                 TEXT    NOT NULL,
    service               TEXT,
    scored_at             INTEGER NOT NULL,
    decided_at            INTEGER NOT NULL,
    raw                   REAL,
    reached               INTEGER NOT NULL, -- the threshold in force then, or a bank's radius
    verdict               TEXT    NOT NULL,
    purpose               TEXT    NOT NULL,
    inclusion_probability REAL    NOT NULL,
    certificate           TEXT,
    cluster               TEXT,
    counted               INTEGER NOT NULL, -- in the precision of what reached the threshold
    FOREIGN KEY (tenant_id, review_item) REFERENCES review_items (tenant_id, id)
) STRICT;

-- A cluster counts once for each technology and label.
CREATE UNIQUE INDEX observations_of_cluster ON observations (tenant_id, technology, label, cluster) WHERE counted = 1 AND cluster IS NOT NULL;
CREATE INDEX observations_of_label ON observations (tenant_id, technology, label, scored_at);

-- Append-only: how operating points fared. The newest row of a key is in force; a running server learns of it by the number.
CREATE TABLE monitor_states (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id   BLOB    NOT NULL REFERENCES tenants (id),
    technology  TEXT    NOT NULL,
    label       TEXT    NOT NULL,
    slice       TEXT, -- NULL is everything
    epoch       INTEGER NOT NULL,
    attempt     INTEGER NOT NULL,
    started_at  INTEGER NOT NULL,
    cause       TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    certificate TEXT,
    threshold   REAL    NOT NULL, -- as configured or installed
    fallback    TEXT,
    raised_to   REAL,
    tally       TEXT    NOT NULL -- JSON
) STRICT;

CREATE INDEX monitor_states_of_key ON monitor_states (tenant_id, technology, label, slice, seq);

-- The same for distributions of scores.
CREATE TABLE drift_alarms (
    seq        INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id  BLOB    NOT NULL REFERENCES tenants (id),
    technology TEXT    NOT NULL,
    label      TEXT    NOT NULL,
    raised     INTEGER NOT NULL, -- 0 when it is over
    psi        REAL    NOT NULL,
    at         INTEGER NOT NULL
) STRICT;
