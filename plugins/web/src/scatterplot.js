// What the map needs of regl-scatterplot.
export { default as createScatterplot, checkSupport } from "regl-scatterplot";
