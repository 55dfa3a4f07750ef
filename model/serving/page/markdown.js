// Markdown to elements. Nothing is ever read as HTML: text enters as text nodes alone, and of links only http and https ones lead anywhere.

// What is nested deeper than anyone reads is shown as it is written: each level is a call, and a page of them would end the script.
const DEEPEST = 12;

function inline(text, into, depth = 0) {
  if (depth > DEEPEST) { into.append(text); return into; }
  const rules = [
    [/`([^`\n]+)`/, (found) => element("code", found[1])],
    [/\*\*(?=\S)([\s\S]{0,2000}?\S)\*\*/, (found) => inlined("strong", found[1], depth)],
    [/__(?=\S)([\s\S]{0,2000}?\S)__/, (found) => inlined("strong", found[1], depth)],
    [/\*(?=[^\s*])([^*\n]{0,2000}[^\s*])\*/, (found) => inlined("em", found[1], depth)],
    [/(?<![\w])_(?=[^\s_])([^_\n]{0,2000}[^\s_])_(?![\w])/, (found) => inlined("em", found[1], depth)],
    [/~~(?=\S)([^~\n]{1,2000})~~/, (found) => inlined("del", found[1], depth)],
    [/\[([^\]\n]+)\]\(\s*(https?:\/\/[^\s)]+)\s*\)/, (found) => link(found[1], found[2])],
    [/https?:\/\/[^\s<>"'`)\]]+/, (found) => link(found[0], found[0])],
  ];
  let rest = text;
  while (rest) {
    let first = null;
    for (const [pattern, make] of rules) {
      const found = pattern.exec(rest);
      if (found && (!first || found.index < first.found.index)) first = { found, make };
    }
    if (!first) break;
    into.append(rest.slice(0, first.found.index), first.make(first.found));
    rest = rest.slice(first.found.index + first.found[0].length);
  }
  into.append(rest);
  return into;
}

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

function inlined(name, text, depth = 0) {
  return inline(text, element(name), depth + 1);
}

function link(text, address) {
  let url;
  try { url = new URL(address); } catch { return document.createTextNode(text); }
  if (url.protocol !== "http:" && url.protocol !== "https:") return document.createTextNode(text);
  const made = element("a", text);
  made.href = url.href;
  made.rel = "noopener noreferrer nofollow";
  made.target = "_blank";
  if (text !== address) made.title = url.href;
  return made;
}

const FENCE = /^\s{0,3}(```+|~~~+)\s*([\w+-]*)\s*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const HEADING = /^(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^\s{0,3}([-*_])(\s*\1){2,}\s*$/;
const CELLS = /^\s*\|(.+)\|\s*$/;

function markdown(text, depth = 0) {
  const into = document.createDocumentFragment();
  if (depth > DEEPEST) { into.append(element("p", text)); return into; }
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  let at = 0;
  while (at < lines.length) {
    const line = lines[at];
    let found;
    if (!line.trim()) { at += 1; continue; }
    if ((found = FENCE.exec(line))) {
      const body = [];
      for (at += 1; at < lines.length && !(lines[at].trim().startsWith(found[1]) && !lines[at].trim().slice(found[1].length)); at += 1) body.push(lines[at]);
      at += 1;
      const block = element("pre");
      block.tabIndex = 0;
      block.append(element("code", body.join("\n")));
      into.append(block);
    } else if ((found = HEADING.exec(line))) {
      into.append(inlined("h" + Math.min(4, found[1].length + 1), found[2]));
      at += 1;
    } else if (RULE.test(line)) {
      into.append(element("hr"));
      at += 1;
    } else if (/^\s{0,3}>/.test(line)) {
      const body = [];
      for (; at < lines.length && /^\s{0,3}>/.test(lines[at]); at += 1) body.push(lines[at].replace(/^\s{0,3}>\s?/, ""));
      const block = element("blockquote");
      block.append(markdown(body.join("\n"), depth + 1));
      into.append(block);
    } else if (ITEM.test(line)) {
      at = list(lines, at, into, depth);
    } else if (CELLS.test(line) && at + 1 < lines.length && /^\s*\|[\s:|-]+\|\s*$/.test(lines[at + 1])) {
      at = table(lines, at, into);
    } else {
      const body = [];
      for (; at < lines.length && lines[at].trim() && (!body.length || !starts(lines[at])); at += 1) body.push(lines[at]);
      const paragraph = element("p");
      body.forEach((part, number) => {
        if (number) paragraph.append(element("br"));
        inline(part.trim(), paragraph);
      });
      into.append(paragraph);
    }
  }
  return into;
}

function starts(line) {
  return FENCE.test(line) || HEADING.test(line) || ITEM.test(line) || /^\s{0,3}>/.test(line);
}

function list(lines, at, into, depth) {
  const [, indent, mark] = ITEM.exec(lines[at]);
  const ordered = /\d/.test(mark);
  const made = element(ordered ? "ol" : "ul");
  if (ordered) made.start = parseInt(mark, 10);
  while (at < lines.length) {
    const found = ITEM.exec(lines[at]);
    if (!found || found[1].length < indent.length || /\d/.test(found[2]) !== ordered) break;
    if (found[1].length > indent.length && depth < DEEPEST) {
      at = list(lines, at, made.lastElementChild || made, depth + 1);
      continue;
    }
    const item = inlined("li", found[3]);
    for (at += 1; at < lines.length && /^\s+\S/.test(lines[at]) && !ITEM.test(lines[at]); at += 1) inline(" " + lines[at].trim(), item);
    made.append(item);
  }
  into.append(made);
  return at;
}

function table(lines, at, into) {
  const cells = (line) => CELLS.exec(line)[1].split("|").map((cell) => cell.trim());
  const made = element("table");
  const head = made.createTHead().insertRow();
  cells(lines[at]).forEach((cell) => head.append(inlined("th", cell)));
  const body = made.createTBody();
  for (at += 2; at < lines.length && CELLS.test(lines[at]); at += 1) {
    const row = body.insertRow();
    cells(lines[at]).forEach((cell) => row.append(inlined("td", cell)));
  }
  into.append(made);
  return at;
}
