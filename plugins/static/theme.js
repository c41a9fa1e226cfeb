// The page looks as Airflow around it does: Airflow keeps the choice in localStorage ("theme":
// light, dark or system) and as a class of its document. A plain script and not a module: it runs
// before anything is drawn, so nothing flashes.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // Airflow's own document around this one, where there is one.
  function around() {
    try {
      return parent === window ? null : parent.document.documentElement;
    } catch {
      return null; // another site's: then Airflow is not around
    }
  }

  function chosen() {
    const classes = around()?.classList;
    if (classes?.contains("dark")) return "dark";
    if (classes?.contains("light")) return "light";
    let kept = null;
    try {
      kept = localStorage.getItem("theme");
    } catch {
      // A browser that keeps nothing: as the system has it.
    }
    if (kept === "dark" || kept === "light") return kept;
    return dark.matches ? "dark" : "light";
  }

  function follow() {
    const theme = chosen();
    if (document.documentElement.dataset.theme === theme) return;
    document.documentElement.dataset.theme = theme;
    document.dispatchEvent(new CustomEvent("lazaretto:theme", { detail: { theme } }));
  }

  follow();
  dark.addEventListener("change", follow);
  addEventListener("storage", follow);
  const frame = around();
  if (frame) {
    const watch = new MutationObserver(follow);
    watch.observe(frame, { attributes: true, attributeFilter: ["class"] });
  }
})();
