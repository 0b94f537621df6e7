import type { Filter } from '../framework.ts'

/** Reads what the device serves: the deployment must be ready there; if not, how far it is, or why it cannot be. */
export const servesFilter: Filter = {
  name: 'serves',
  reads: 'device.placements, work.deployment',
  reject: ({ deployment }, { placements }) => {
    if (deployment === null) return null
    const placement = placements.get(deployment)
    if (placement === undefined) return `does not serve ${deployment}`
    if (placement.state === 'ready') return null
    return placement.reason === undefined ? `${deployment} is ${placement.state}` : placement.reason
  }
}
