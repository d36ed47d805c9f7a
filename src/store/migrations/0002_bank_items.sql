-- What became of the items of a bank, append-only: an item without a row is enabled, otherwise its newest row counts. `version` is the bank's,
-- which began with this change; a server asks for the rows of the versions that it has not seen. Content ids stay without gaps, because a removed
-- item keeps its row in bank_signals; it loses the one in bank_signal_keys, so that its signal can be imported again.
CREATE TABLE bank_item_states (
    tenant_id  BLOB    NOT NULL,
    bank       INTEGER NOT NULL REFERENCES banks (number),
    version    INTEGER NOT NULL,
    content_id INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state IN ('enabled', 'disabled', 'removed')),
    PRIMARY KEY (bank, version, content_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX bank_item_states_of_item ON bank_item_states (bank, content_id, version);
