"use strict";
(() => {
  for (const block of document.querySelectorAll("pre.copy")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-label", "Copy this command");
    button.addEventListener("click", async () => {
      const text = block.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        // Browsers give pages without TLS no clipboard: the text is marked, to be copied by hand.
        getSelection().selectAllChildren(block.querySelector("code"));
        button.textContent = "Marked";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    block.append(button);
  }

  const filter = document.getElementById("filter");
  filter.hidden = false;
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const entry of document.querySelectorAll("nav li.operation")) {
      const text = entry.textContent.toLowerCase() + " " + entry.dataset.path;
      entry.hidden = !words.every((word) => text.includes(word));
    }
  });

  const links = new Map();
  for (const link of document.querySelectorAll("nav a")) {
    links.set(link.hash.slice(1), link);
  }
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      link.setAttribute("aria-current", "true");
      link.scrollIntoView({ block: "nearest" });
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const section of document.querySelectorAll("section[id]")) {
    if (links.has(section.id)) observer.observe(section);
  }
})();
