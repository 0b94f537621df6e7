import type { Filter } from '../framework.ts'

/** Reads the device's taints; a toleration names the whole taint, its key, or `*`. */
export const taintsFilter: Filter = {
  name: 'taints',
  reads: 'device.taints, work.tolerations',
  reject: ({ tolerations }, { taints }) => {
    const kept = taints.find((taint) => {
      const plain = taint.split(':')[0] as string
      return !['*', taint, plain, plain.split('=')[0] as string].some((each) => tolerations.includes(each))
    })
    return kept === undefined ? null : `taint ${kept} is not tolerated`
  }
}
