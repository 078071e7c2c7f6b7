// Below each page that the search finds: what it says around a word that was looked for. The texts are in
// search-texts.js, which docs/conf.py writes.
document.addEventListener("DOMContentLoaded", () => {
  const list = document.getElementById("search-results");
  const [, words] = Search._parseQuery(new URLSearchParams(location.search).get("q") ?? "");
  const explain = () => {
    for (const item of list.querySelectorAll("li:not(:has(span, .context))")) { // names of the API have a <span>
      const [page, anchor] = item.querySelector("a").getAttribute("href").split("#");
      const sections = SEARCH_TEXTS[page.replace(/\.html$/, "")] ?? [];
      const first = Math.max(0, sections.findIndex(([id]) => id === anchor));
      const text = sections.slice(first).map(([, own]) => own).join(" ");
      item.append(Search.makeSearchSummary(`<p role="main">${_escapeHTML(text)}</p>`, words, "") ?? "");
    }
  };
  new MutationObserver(explain).observe(list, { childList: true, subtree: true });
  explain();
});
