export { BENCHMARKS, type Benchmark, type BenchmarkContext, type BenchmarkResult } from './benchmarks.ts'
export { exampleVariants } from './example-variants.ts'
export { median } from './median.ts'
