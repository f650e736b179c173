"use strict";
// A click on a column's title sorts by it; another turns the order round.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  headers.forEach((header, column) => header.querySelector("button").addEventListener("click", () => {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    headers.forEach(other => other.removeAttribute("aria-sort"));
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = row => row.cells[column].dataset.order;
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");  // what is missing stands last, whichever way
      const [p, q] = [Number(x), Number(y)];
      const [pIsText, qIsText] = [Number.isNaN(p), Number.isNaN(q)];
      const order = pIsText || qIsText ? pIsText - qIsText || x.localeCompare(y) : p - q;
      return ascending ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  }));
}
// A link to a row's part opens it.
const openPart = () => {
  const part = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (part instanceof HTMLDetailsElement) { part.open = true; part.scrollIntoView(); }
};
addEventListener("hashchange", openPart);
addEventListener("click", event => { if (event.target.closest("a[href^='#']")) setTimeout(openPart); });
openPart();
// On paper nothing can be unfolded, so everything is.
let folded = [];
addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach(part => { part.open = true; });
});
addEventListener("afterprint", () => folded.forEach(part => { part.open = false; }));
