-- Characters and words of each document.
CREATE OR REPLACE TEMP TABLE measured AS
SELECT n, length(text) AS characters, len(list_filter(string_split(translate(text, chr(10), ' '), ' '), lambda word: word <> '')) AS words
FROM plain;
