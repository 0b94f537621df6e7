import { availableParallelism, totalmem } from 'node:os'

/** What a converter process may take. */
export type ConverterLimits = {
  /** Of memory that it can write to; a process starts with 0.3 GB of it, for TensorFlow itself. */
  memoryBytes: number
  /** Of one file. */
  fileBytes: number
  /** Of its work folder. */
  diskBytes: number
  /** Of all cores together. */
  cpuSeconds: number
  /** Processes and threads. */
  processes: number
}

const gibibyte = 2 ** 30

/** Three quarters of the memory that there is; threads as TensorFlow starts them, several for each core. */
export function defaultLimits(): ConverterLimits {
  const cores = availableParallelism()
  // 0, or more than there is, where no control group sets one.
  const allowed = process.constrainedMemory() || Number.POSITIVE_INFINITY
  return {
    memoryBytes: Math.floor(0.75 * Math.min(totalmem(), allowed)),
    fileBytes: 8 * gibibyte,
    diskBytes: 16 * gibibyte,
    cpuSeconds: 3600 * cores,
    processes: 256 + 16 * cores
  }
}
