-- Names that banks had before: what was matched under one is said of the bank that had it then.
CREATE TABLE bank_former_names (
    bank      INTEGER NOT NULL REFERENCES banks (number),
    tenant_id BLOB NOT NULL,
    name      TEXT NOT NULL,
    -- In microseconds: from when to when it was the bank's name.
    since     INTEGER NOT NULL,
    until     INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, name, until, bank)
) STRICT, WITHOUT ROWID;

CREATE INDEX bank_former_names_bank ON bank_former_names (bank, until);
