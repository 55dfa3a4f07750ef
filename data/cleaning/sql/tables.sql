-- What a shard's cleaning knows from batch to batch. d: a document's place in the order of ids.
-- fate: pending (the rules go over it again), settled (they changed nothing), gone (too short). round: that which last changed its text;
-- 0: it is as it came. seen: the last round that looked at it. texts holds what rounds made.
CREATE TEMP TABLE state (d INTEGER, id VARCHAR, given BIGINT, size BIGINT, round INTEGER, fate VARCHAR, seen INTEGER);
CREATE TEMP TABLE texts (d INTEGER, round INTEGER, text VARCHAR);

-- The account. rule: its place in the table of rules. line: what stands there instead; NULL: nothing.
CREATE TEMP TABLE ledger (d INTEGER, rule INTEGER, pieces BIGINT, characters BIGINT, net BIGINT);
CREATE TEMP TABLE pieces (d INTEGER, round INTEGER, rule INTEGER, n INTEGER, place INTEGER, inner_place INTEGER, before VARCHAR, line VARCHAR);

-- Documents that a machine misread.
CREATE TEMP TABLE machine_read (d INTEGER);

-- How often each run of characters between spaces occurs: in this round's documents, and in those that are settled.
CREATE TEMP TABLE counts (chunk VARCHAR, times BIGINT);
CREATE TEMP TABLE settled_counts (chunk VARCHAR, times BIGINT);

-- Lines that are of the page and not of the text, see pages.sql.
CREATE TEMP TABLE furniture (d INTEGER, n INTEGER, kind VARCHAR);
