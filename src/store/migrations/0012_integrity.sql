-- Sum over the bank's published signals: see store::banks::sums. NULL in banks of before, until a server has read them through once.
ALTER TABLE banks ADD COLUMN signals_sum INTEGER;

-- When a key ends by itself; NULL is never.
ALTER TABLE keys ADD COLUMN expires_at INTEGER;
