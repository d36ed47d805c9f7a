-- A signal may belong to several items of a bank. bank_signal_keys has one of its numbers, the others stand here; both forget the numbers of items
-- that are removed. A table of its own, because nearly all signals of large lists belong to one item: what bank_signal_keys holds stays as it lies.
CREATE TABLE bank_shared_signals (
    bank        INTEGER NOT NULL REFERENCES banks (number),
    signal_type TEXT    NOT NULL,
    signal      BLOB    NOT NULL,
    number      INTEGER NOT NULL,
    tenant_id   BLOB    NOT NULL,
    PRIMARY KEY (bank, signal_type, signal, number)
) STRICT, WITHOUT ROWID;
