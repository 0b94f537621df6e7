/** The log model kind + artifact, by alternating least squares over the measured cells. */
export function twoWay(
  logMs: Float64Array,
  count: Float64Array,
  kinds: number,
  artifacts: number
): { kindEffect: Float64Array; artifactEffect: Float64Array } {
  const kindEffect = new Float64Array(kinds)
  const artifactEffect = new Float64Array(artifacts)
  let grand = 0
  for (let round = 0; round < 40; round++) {
    let total = 0
    let measured = 0
    for (let a = 0; a < artifacts; a++) {
      let sum = 0
      let cells = 0
      for (let k = 0; k < kinds; k++) {
        if (!((count[k * artifacts + a] as number) > 0)) continue
        sum += (logMs[k * artifacts + a] as number) - (kindEffect[k] as number)
        cells += 1
      }
      artifactEffect[a] = cells > 0 ? sum / cells : grand
      if (cells > 0) {
        total += sum / cells
        measured += 1
      }
    }
    grand = measured > 0 ? total / measured : 0
    for (let k = 0; k < kinds; k++) {
      let sum = 0
      let cells = 0
      for (let a = 0; a < artifacts; a++) {
        if (!((count[k * artifacts + a] as number) > 0)) continue
        sum += (logMs[k * artifacts + a] as number) - (artifactEffect[a] as number)
        cells += 1
      }
      kindEffect[k] = cells > 0 ? sum / cells : 0
    }
  }
  return { kindEffect, artifactEffect }
}

/** The two-way model's value of every cell: the peer that `gaussianFill` is measured against. */
export function twoWayFill(logMs: Float64Array, count: Float64Array, kinds: number, artifacts: number): Float64Array {
  const { kindEffect, artifactEffect } = twoWay(logMs, count, kinds, artifacts)
  return logMs.map((_, cell) => {
    const kind = Math.floor(cell / artifacts)
    return (kindEffect[kind] as number) + (artifactEffect[cell - kind * artifacts] as number)
  })
}
