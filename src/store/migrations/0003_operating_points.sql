-- Signed certificates, as they were installed. They stay when nothing of them is in force any more: they are the evidence for what was.
CREATE TABLE certificates (
    tenant_id BLOB NOT NULL REFERENCES tenants (id),
    id        BLOB NOT NULL,
    document  TEXT NOT NULL, -- JSON
    PRIMARY KEY (tenant_id, id)
) STRICT;

-- Claims in force, and those that were. `claim` counts the claims of the document from 0; `slice` is null where the claim is for everything.
CREATE TABLE operating_points (
    number       INTEGER NOT NULL PRIMARY KEY,
    tenant_id    BLOB    NOT NULL,
    certificate  BLOB    NOT NULL,
    claim        INTEGER NOT NULL,
    technology   TEXT    NOT NULL,
    label        TEXT    NOT NULL,
    slice        TEXT,
    installed_at INTEGER NOT NULL,
    retired_at   INTEGER,
    FOREIGN KEY (tenant_id, certificate) REFERENCES certificates (tenant_id, id)
) STRICT;

-- At most one at a time. A number is no text, so no slice is taken for the absence of one.
CREATE UNIQUE INDEX operating_points_in_force ON operating_points (tenant_id, technology, label, ifnull(slice, 0)) WHERE retired_at IS NULL;

-- Whose signatures are believed, beside the data directory's own key.
CREATE TABLE certificate_keys (
    tenant_id  BLOB    NOT NULL REFERENCES tenants (id),
    public_key BLOB    NOT NULL, -- Ed25519, 32 bytes
    name       TEXT    NOT NULL,
    trusted_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, public_key),
    UNIQUE (tenant_id, name)
) STRICT;

-- Append-only: how a server learns that something of the above changed.
CREATE TABLE operating_point_changes (
    seq       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id BLOB    NOT NULL REFERENCES tenants (id),
    at        INTEGER NOT NULL
) STRICT;
