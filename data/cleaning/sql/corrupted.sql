-- Lines that are not language: too many symbols, or replacement characters. Ornaments (* * *, -----) stay, since they separate scenes.
-- Short lines stay, since nothing can be measured on them. Punctuation of any script is no symbol: curly quotes, dashes and dots, the blocks
-- from Armenian to Mongolian (Hebrew, Arabic and the scripts of India among them), and that of Chinese, Japanese and Korean in full width; nor are bullets,
-- emoji and what joins letters.
WITH measured AS (
    SELECT d, n, line, length(line) AS size,
        length(line) - length(regexp_replace(line, '[^\p{L}\p{M}\p{N} .,;:!?''"()\[\]_*«»—–/&£$\-'
            || '•·▪◦‣\x{200b}-\x{200d}\x{2600}-\x{27bf}\x{fe0e}\x{fe0f}\x{1f000}-\x{1faff}\x{2010}-\x{2015}\x{2018}-\x{201f}\x{2025}\x{2026}\x{2039}\x{203a}\x{0530}-\x{18af}'
            || '\x{3000}-\x{303f}\x{309b}\x{309c}\x{30a0}\x{30fb}\x{fe10}-\x{fe19}\x{fe30}-\x{fe4f}'
            || '\x{ff01}\x{ff02}\x{ff07}-\x{ff09}\x{ff0c}-\x{ff0f}\x{ff1a}\x{ff1b}\x{ff1f}\x{ff3b}\x{ff3d}\x{ff5b}\x{ff5d}-\x{ff65}]', '', 'g')) AS symbols
    FROM lines WHERE odd
), marked AS (
    SELECT *, size >= 6 AND (symbols >= getvariable('corrupted_share') * size OR length(line) - length(replace(line, chr(65533), '')) >= 0.1 * size)
        AND NOT regexp_full_match(line, '[\s*.·•~=_+#—-]+') AS bad
    FROM measured WHERE symbols > 0
), near AS (
    -- Next to a corrupted line half the share is enough, since such blocks have ragged edges.
    SELECT d, n - 1 AS n FROM marked WHERE bad UNION SELECT d, n + 1 FROM marked WHERE bad
)
SELECT d, n, line AS before, NULL AS line, size AS characters FROM marked
WHERE bad OR (symbols >= 0.5 * getvariable('corrupted_share') * size AND (d, n) IN (FROM near))
