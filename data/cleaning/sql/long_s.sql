-- The long s of old prints.
SELECT d, n, line AS before, replace(line, 'ſ', 's') AS line, length(line) - length(replace(line, 'ſ', '')) AS characters
FROM suspects WHERE contains(line, 'ſ')
