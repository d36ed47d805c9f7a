-- The account that sent an attachment, as the keyed pseudonym that the ledger has: a reviewer sees that two items are of one account. NULL where the provider named none, and for
-- items that came before this column.
ALTER TABLE review_items ADD COLUMN account TEXT;
