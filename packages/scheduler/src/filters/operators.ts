import type { Filter } from '../framework.ts'

/** Reads the artifact's operators with versions, and asks whether one of the device's runtimes knows them all. */
export const operatorsFilter: Filter = {
  name: 'operators',
  reads: 'device.runtimes, work.artifact.operators',
  reject: ({ artifact }, { runtimes }, { operatorSupport }) => {
    if (artifact === null) return null
    if (runtimes.length === 0) return 'has no TFLite runtime'
    const refusals = runtimes.map((runtime) => operatorSupport(runtime, artifact.operators))
    return refusals.includes(null) ? null : refusals.join('; ')
  }
}
