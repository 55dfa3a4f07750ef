-- Composed Unicode, ligatures as letters, no control or invisible characters, single plain spaces, none at the ends of a line.
-- What joins letters or keeps them apart (a zero-width joiner, non-joiner or space) stays behind letters of the scripts from Arabic to Khmer, and
-- behind emoji, where it is spelling.
-- A soft hyphen at the end of a line becomes a hyphen, elsewhere it is removed. Form feeds are left for page_numbers.
-- Changes of spaces alone are layout and count 0 characters.
WITH plain AS (
    SELECT *, CASE WHEN regexp_full_match(line, '[\x20-\x7e]*') THEN line ELSE
        regexp_replace(regexp_replace(regexp_replace(regexp_replace(
            replace(replace(replace(replace(replace(replace(replace(nfc_normalize(line),
                'ﬀ', 'ff'), 'ﬁ', 'fi'), 'ﬂ', 'fl'), 'ﬃ', 'ffi'), 'ﬄ', 'ffl'), 'ﬅ', 'st'), 'ﬆ', 'st'),
            '\x{ad}\s*$', '-'),
            '[\x{00}-\x{08}\x{0e}-\x{1f}\x{7f}-\x{9f}\x{ad}\x{200e}\x{200f}\x{202a}-\x{202e}\x{2060}-\x{2064}\x{feff}]', '', 'g'),
            '(^|[^\x{200b}-\x{200d}\x{0600}-\x{109f}\x{1780}-\x{18af}\x{203c}-\x{2bff}\x{fb50}-\x{fdff}\x{fe0e}\x{fe0f}\x{fe70}-\x{fefc}\x{1f000}-\x{1faff}\x{e0020}-\x{e007f}])[\x{200b}-\x{200d}]+', '\1', 'g'),
            '[\t\x{0c}\x{a0}\x{1680}\x{2000}-\x{200a}\x{202f}\x{205f}\x{3000}]', ' ', 'g')
    END AS kept FROM suspects WHERE line <> chr(12)
), tidy AS (
    SELECT *, trim(CASE WHEN contains(kept, '  ') THEN regexp_replace(kept, ' {2,}', ' ', 'g') ELSE kept END) AS tidied FROM plain
)
SELECT d, n, line AS before, tidied AS line, CASE WHEN kept = line THEN 0 ELSE greatest(abs(length(line) - length(kept)), 1) END AS characters
FROM tidy WHERE tidied <> line
