export { BENCHMARKS, type Benchmark, type BenchmarkContext, type BenchmarkResult } from './benchmarks.ts'
export { median } from './median.ts'
