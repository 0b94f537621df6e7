import type { LiteRtLibrary, Pointer } from './litert-library.ts'

/** Bits of LiteRtHwAccelerators. */
const kinds = [
  [1, 'cpu'],
  [2, 'gpu'],
  [4, 'npu']
] as const

/**
 * What the environment has registered to run models on, such as `cpu` (XNNPACK); `gpu` and `npu` where LiteRT found a
 * library of theirs beside its own, and a device for it. In LiteRT's order, each once.
 */
export function readAccelerators(library: LiteRtLibrary, environment: Pointer): string[] {
  const count: [number | bigint] = [0]
  if (library.getNumAccelerators(environment, count) !== 0) return []
  const found = new Set<string>()
  for (let index = 0; index < Number(count[0]); index++) {
    const accelerator: [Pointer | null] = [null]
    const hardware: [number | bigint] = [0]
    if (library.getAccelerator(environment, index, accelerator) !== 0 || accelerator[0] === null) continue
    if (library.getAcceleratorHardwareSupport(accelerator[0], hardware) !== 0) continue
    for (const [bit, kind] of kinds) if ((Number(hardware[0]) & bit) !== 0) found.add(kind)
  }
  return [...found]
}
