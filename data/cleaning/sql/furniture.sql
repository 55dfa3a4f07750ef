-- Remove page numbers or running heads, whichever `kind` asks for.
SELECT d, n, line AS before, NULL AS line, length(line) AS characters FROM lines JOIN furniture USING (d, n) WHERE kind = getvariable('kind')
