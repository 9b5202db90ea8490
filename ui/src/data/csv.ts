/** Tables for spreadsheets (RFC 4180), made here. */

/** A cell that a spreadsheet would take for a formula gets a quote before it, as in the hub's own reports. */
export function csv(rows: readonly (readonly string[])[]): string {
  return rows.map(row => row.map(cell).join(',') + '\r\n').join('');
}

function cell(text: string): string {
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** Lets the browser save a file. */
export function save(name: string, content: BlobPart, type = 'text/csv;charset=utf-8'): void {
  const address = URL.createObjectURL(new Blob([content], { type }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => {
    URL.revokeObjectURL(address);
  }, 10_000);
}
