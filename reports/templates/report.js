
"use strict";
// Sorting is an addition: without this script every table is complete and in its own order.
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const original = Array.from(body.rows);
  if (original.length < 2) continue;
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    while (head.firstChild) button.appendChild(head.firstChild);
    head.appendChild(button);
    button.addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === "ascending" ? "descending" : now === "descending" ? null : "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      if (next) head.setAttribute("aria-sort", next);
      const key = (row) => {
        const cell = row.cells[column];
        if (head.dataset.kind !== "number") return cell.textContent.trim().toLowerCase();
        return cell.dataset.sort === undefined ? null : Number(cell.dataset.sort);
      };
      const rows = original.slice();
      if (next) {
        const sign = next === "ascending" ? 1 : -1;
        rows.sort((a, b) => {
          const x = key(a), y = key(b);
          // missing numbers stay last, whichever way the rest is sorted
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * (typeof x === "number" ? x - y : x.localeCompare(y, undefined, { numeric: true }));
        });
      }
      body.append(...rows);
    });
  });
}
