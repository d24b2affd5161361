// Reads the registries (*.def): rows MACRO(field, ...), one a line, whose fields are words, numbers or strings.

/** The fields of a row's text between the parentheses; a string may hold anything but a double quote. */
function fieldsOf(text, line) {
  const fields = [];
  const field = /\s*(?:"([^"]*)"|([^\s",()]+))\s*(,|$)/y;
  for (;;) {
    const found = field.exec(text);
    if (found === null) throw new Error(`not a list of words, numbers and "strings": ${line}`);
    fields.push(found[1] ?? found[2]);
    if (found[3] === "") return fields;
  }
}

/** The rows of a registry's text in their order: {macro, fields}. `shapes` gives the number of fields of each macro. */
export function parseRows(text, shapes) {
  const rows = [];
  for (const line of text.split("\n")) {
    const row = /^(GM_\w+)\((.*)\)\s*$/.exec(line);
    if (row === null) {
      if (line.startsWith("GM_")) throw new Error(`a row is one line, MACRO(field, ...): ${line}`);
      continue;
    }
    const [, macro, inner] = row;
    const fields = fieldsOf(inner, line);
    if (shapes[macro] === undefined) throw new Error(`unknown macro; known: ${Object.keys(shapes)}: ${line}`);
    if (fields.length !== shapes[macro])
      throw new Error(`${macro} has ${shapes[macro]} fields, this row has ${fields.length}: ${line}`);
    rows.push({ macro, fields });
  }
  return rows;
}

/** The codecs of codecs.def: {rows: [{name, id, wire, error, special, source, options}], cases: [specification]}. */
export function parseCodecs(text) {
  const rows = [];
  const cases = [];
  const found = parseRows(text, { GM_CODEC: 6, GM_NUMBER: 6, GM_CHOICE: 5, GM_CASE: 1 });
  for (const { macro, fields } of found) {
    if (macro === "GM_CASE") cases.push(fields[0]);
    if (macro !== "GM_CODEC") continue;
    const [name, id, wire, error, special, source] = fields;
    rows.push({ name, id: Number(id), wire, error, special, source, options: [] });
    cases.push(name);
  }
  for (const { macro, fields } of found) {
    if (macro !== "GM_NUMBER" && macro !== "GM_CHOICE") continue;
    const [codec, name, initial, ...rest] = fields;
    const row = rows.find((each) => each.name === codec);
    if (row === undefined) throw new Error(`option ${name}: there is no codec ${codec}`);
    row.options.push(
      macro === "GM_NUMBER" ? numberOption(name, initial, rest) : choiceOption(name, initial, rest),
    );
  }
  return { rows, cases };
}

function numberOption(name, initial, [least, most, doc]) {
  return { name, initial: Number(initial), least: Number(least), most: Number(most), doc };
}

function choiceOption(name, initial, [names, doc]) {
  const choices = names.split(" ");
  return { name, initial: choices[Number(initial)], choices, doc };
}
