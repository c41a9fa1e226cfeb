// htmx as the pages' content security policy wants it: no eval, no style sheet of its own. Set
// before the document is ready, because htmx reads it then.
import htmx from "htmx.org";

Object.assign(htmx.config, {
  allowEval: false,
  allowScriptTags: false,
  allowNestedOobSwaps: false,
  includeIndicatorStyles: false,
  selfRequestsOnly: true,
  historyCacheSize: 0,
});
export default htmx;
