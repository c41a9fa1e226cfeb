// regl writes the JavaScript of each draw command and hands it to `Function`, which the pages'
// content security policy forbids. Here an interpreter runs that text instead. The text is regl's
// own, made of the shaders in regl-scatterplot; nothing of it comes from data.
import Sval from "sval";

export function compile(names, text, values) {
  const interpreter = new Sval({ ecmaVer: 5, sourceType: "script", sandBox: true });
  interpreter.run(`exports.made = function (${names.join(", ")}) {${text}}`);
  return interpreter.exports.made(...values);
}
