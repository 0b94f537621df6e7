import type { Filter } from '../framework.ts'
import { unmetLabel } from '../selector.ts'

/** Reads the device's labels: equality, sets and existence. */
export const selectorFilter: Filter = {
  name: 'selector',
  reads: 'device.labels, work.selector',
  reject: ({ selector }, { labels }) => {
    const key = unmetLabel(selector, labels)
    return key === null ? null : `label ${key} is ${labels[key] ?? 'absent'}, not as selected`
  }
}
