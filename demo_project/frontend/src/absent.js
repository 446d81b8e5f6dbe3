// Stands in for optional packages that the demo does without.
export default {};
