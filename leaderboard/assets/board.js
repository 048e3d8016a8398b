
// Filtering is an addition too: the field is made here, so that without scripts there is no dead control.
for (const table of document.querySelectorAll("table.filterable")) {
  const rows = Array.from(table.tBodies[0].rows);
  if (rows.length < 2) continue;
  const words = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const box = document.createElement("p"), label = document.createElement("label");
  const input = document.createElement("input"), found = document.createElement("output");
  box.className = "filter";
  input.type = "search";
  input.autocomplete = "off";
  label.append("Show rows with ", input);
  found.textContent = `${rows.length} rows`;
  box.append(label, found);
  table.closest(".scroll").before(box);
  input.addEventListener("input", () => {
    // every word has to occur; a word with a minus before it must not
    const asked = input.value.toLowerCase().split(/\s+/).filter((word) => word && word !== "-");
    const fits = (row) => asked.every((word) =>
      word.startsWith("-") ? !words.get(row).includes(word.slice(1)) : words.get(row).includes(word));
    let shown = 0;
    for (const row of rows) {
      row.hidden = !fits(row);
      if (!row.hidden) shown += 1;
    }
    found.textContent = shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
  });
}
