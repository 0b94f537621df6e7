import type { Filter, Requirement } from '../framework.ts'
import { matchesSelector } from '../selector.ts'

/** Reads the device's labels: equality (`selector`), sets and existence (`requirements`). */
export const selectorFilter: Filter = {
  name: 'selector',
  reads: 'device.labels, work.selector, work.requirements',
  reject: (work, { labels }) => {
    if (!matchesSelector(work.selector, labels)) return 'labels differ from the selector'
    const missed = work.requirements.find((requirement) => !holds(requirement, labels[requirement.key]))
    return missed === undefined ? null : `label ${missed.key} is not as required (${missed.operator})`
  }
}

function holds(requirement: Requirement, value: string | undefined): boolean {
  switch (requirement.operator) {
    case 'in':
      return value !== undefined && requirement.values.includes(value)
    case 'not-in':
      return value === undefined || !requirement.values.includes(value)
    case 'exists':
      return value !== undefined
    case 'not-exists':
      return value === undefined
  }
}
