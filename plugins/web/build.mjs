// Bundles other people's libraries for the review page into ../static/bundled, with their licences.
import { build } from "esbuild";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";

const here = fileURLToPath(new URL(".", import.meta.url));
const out = join(here, "../static/bundled");
const CALLS_FUNCTION =
  /var proc = Function\.apply\(null, linkedNames\.concat\(src\)\)\s+return proc\.apply\(null, linkedValues\)/;

// The pages' content security policy forbids `Function`; see src/regl-without-eval.js.
const reglWithoutEval = {
  name: "regl-without-eval",
  setup(build) {
    build.onLoad({ filter: /\/regl\/dist\/regl\.js$/ }, async ({ path }) => {
      const source = await readFile(path, "utf8");
      if (!CALLS_FUNCTION.test(source)) {
        throw new Error("regl is another one than build.mjs knows: look for `Function` in it");
      }
      const without = source.replace(
        CALLS_FUNCTION,
        "return compileWithoutEval(linkedNames, src, linkedValues)",
      );
      const compiler = JSON.stringify(join(here, "src/regl-without-eval.js"));
      const contents = `var compileWithoutEval = require(${compiler}).compile;\n${without}`;
      return { contents, loader: "js" };
    });
  },
};

async function licences() {
  const lock = JSON.parse(await readFile(join(here, "package-lock.json"), "utf8"));
  const texts = [];
  for (const [folder, { dev, version, license }] of Object.entries(lock.packages)) {
    if (folder === "" || dev) continue; // what only builds or tests is not handed on
    const names = await readdir(join(here, folder));
    const file = names.find((name) => /^licen[cs]e/i.test(name));
    if (file === undefined) throw new Error(`${folder} has no licence text`);
    const text = await readFile(join(here, folder, file), "utf8");
    const name = folder.slice(folder.lastIndexOf("node_modules/") + "node_modules/".length);
    texts.push(`${name} ${version} (${license})\n\n${text.trim()}\n`);
  }
  return texts.join(`\n${"-".repeat(72)}\n\n`);
}

await rm(out, { recursive: true, force: true });
await mkdir(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: ["src/htmx.js", "src/scatterplot.js", "src/uplot.js"],
  outdir: out,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: true,
  legalComments: "none",
  plugins: [reglWithoutEval],
  logLevel: "warning",
});
await writeFile(join(out, "LICENSES.txt"), await licences());
