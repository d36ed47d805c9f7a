-- Decisions get a number in the order in which they were made, so that whoever follows them misses none. There is one writer at a time, so the numbers grow in the
-- order of the commits; AUTOINCREMENT gives none twice.
CREATE TABLE review_decisions_numbered (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id   BLOB    NOT NULL,
    review_item BLOB    NOT NULL,
    reviewer    BLOB    NOT NULL,
    verdict     TEXT    NOT NULL,
    note_code   TEXT,
    decided_at  INTEGER NOT NULL,
    UNIQUE (tenant_id, review_item),
    FOREIGN KEY (tenant_id, review_item) REFERENCES review_items (tenant_id, id)
) STRICT;

INSERT INTO review_decisions_numbered (tenant_id, review_item, reviewer, verdict, note_code, decided_at)
SELECT tenant_id, review_item, reviewer, verdict, note_code, decided_at FROM review_decisions ORDER BY decided_at, rowid;

DROP TABLE review_decisions;
ALTER TABLE review_decisions_numbered RENAME TO review_decisions;
CREATE INDEX review_decisions_in_order ON review_decisions (tenant_id, seq);

-- Attachments that were put to an item after its first one: while it was open, because they matched the same, or once it was decided, because they are copies.
CREATE TABLE review_attachments (
    seq         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    tenant_id   BLOB    NOT NULL,
    review_item BLOB    NOT NULL,
    item_id     TEXT    NOT NULL, -- the provider's reference
    at          INTEGER, -- NULL for those that came before these rows were written
    technology  TEXT, -- of the nearest match; NULL where nothing matched, or it is not known
    distance    REAL,
    likeness    TEXT CHECK (likeness IN ('exact', 'near')), -- to the decided item; NULL while it was open
    FOREIGN KEY (tenant_id, review_item) REFERENCES review_items (tenant_id, id)
) STRICT;

CREATE INDEX review_attachments_of_item ON review_attachments (tenant_id, review_item, seq);

-- Of earlier ones at most the 20 newest references are known, newest first.
INSERT INTO review_attachments (tenant_id, review_item, item_id)
SELECT items.tenant_id, items.id, newest.value FROM review_items AS items, json_each(items.item_ids) AS newest
WHERE items.subject IS NULL AND items.count > 1 AND newest.value <> items.item_id
ORDER BY items.created_at, items.id, newest.key DESC;

-- Copies that came once the item was decided; `count` is of those that the decision was about.
ALTER TABLE review_items ADD COLUMN attached INTEGER NOT NULL DEFAULT 0;

-- Second looks are routed items that repeat a decided one.
CREATE INDEX review_items_second_looks ON review_items (tenant_id, copy_of) WHERE purpose = 'routed' AND copy_of IS NOT NULL;

-- By what copies of an item are recognised once it is decided: 'content:' and a keyed digest of exactly this content, or 'match:' and the nearest item of a bank
-- as JSON. Gold items have none: their verdicts are about reviewers.
CREATE TABLE review_known (
    tenant_id   BLOB NOT NULL,
    key         TEXT NOT NULL,
    review_item BLOB NOT NULL,
    decision    INTEGER, -- the decision's number; NULL while the item is open
    PRIMARY KEY (tenant_id, key, review_item)
) STRICT, WITHOUT ROWID;

CREATE INDEX review_known_of_item ON review_known (tenant_id, review_item);
CREATE INDEX review_known_decided ON review_known (tenant_id, key, decision);

-- Of earlier items the content is not known, the match is.
INSERT INTO review_known (tenant_id, key, review_item, decision)
SELECT items.tenant_id, 'match:' || json_array(json_extract(evidence, '$.matches[0].bank'), json_extract(evidence, '$.matches[0].content_id')), items.id, seq
FROM review_items AS items
LEFT JOIN review_decisions AS decisions ON decisions.tenant_id = items.tenant_id AND decisions.review_item = items.id
WHERE items.subject IS NULL AND purpose <> 'gold' AND json_extract(evidence, '$.matches[0].content_id') IS NOT NULL;
