-- Mark the first line of text after removed page furniture: a page ended before it, so a paragraph cut there can be joined.
UPDATE lines SET page = true
FROM (SELECT DISTINCT l.d, l.n FROM edited e ASOF JOIN lines l ON e.d = l.d AND e.n < l.n) f WHERE lines.d = f.d AND lines.n = f.n;
