-- Hits count accounts, and floods look at those of them that matched by something else than an exact digest. What was counted before says neither.
ALTER TABLE bank_hits ADD COLUMN near INTEGER NOT NULL DEFAULT 0;
UPDATE bank_hits SET near = hits;

-- What matches a quarantined item goes to review, so lookups have to find it: indices follow by the next version of each bank.
INSERT INTO bank_item_states (tenant_id, bank, version, content_id, state)
SELECT items.tenant_id, items.bank, banks.version + 1, content_id, 'enabled' FROM bank_items AS items JOIN banks ON banks.number = items.bank
WHERE standing = 'quarantined' AND disable_until = 0 AND deleted_at IS NULL AND version > 0;

UPDATE banks SET version = version + 1 WHERE deleted_at IS NULL AND version > 0 AND EXISTS
    (SELECT 1 FROM bank_items WHERE bank = banks.number AND standing = 'quarantined' AND disable_until = 0);

INSERT INTO bank_changes (tenant_id, bank, version, signals, at)
SELECT tenant_id, id, version, signals, unixepoch() * 1000000 FROM banks WHERE deleted_at IS NULL AND version > 0 AND EXISTS
    (SELECT 1 FROM bank_items WHERE bank = banks.number AND standing = 'quarantined' AND disable_until = 0);
