export { Histogram, HistogramError, type HistogramJson, merge, RELATIVE_ERROR, SCALE } from './histogram.ts'
export { createMetrics, type Metrics } from './metrics.ts'
