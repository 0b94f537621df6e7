/**
 * The layout of LiteRtRankedTensorType and of the calls in litert-library.ts, by a number of our own: see
 * litert-acceptance.ts. In a file of its own, because that one loads koffi, which only the child needs.
 */
export const structLayout = 1
