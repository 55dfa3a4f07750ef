-- The line of text after furniture that went learns that a page ended before it, so that a paragraph cut by the page can be put together.
UPDATE lines SET page = true
FROM (SELECT DISTINCT l.d, l.n FROM edited e ASOF JOIN lines l ON e.d = l.d AND e.n < l.n) f WHERE lines.d = f.d AND lines.n = f.n;
