// The library of the score histogram, and its style sheet.
import "uplot/dist/uPlot.min.css";
export { default } from "uplot";
