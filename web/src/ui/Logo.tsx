/** A loquat with its leaf. */
export function Logo({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" fill="none" aria-hidden="true">
      <path
        d="M16 10.5c-6.1 0-10.6 4.2-10.6 10.1S9.9 30 16 30s10.6-3.5 10.6-9.4S22.1 10.5 16 10.5Z"
        className="fill-loquat"
      />
      <path d="M9.3 20.4c.2-3.2 1.9-5.4 4.4-6.2" stroke="#ffdba3" strokeWidth="2" strokeLinecap="round" />
      <path d="M15.9 10.8C15.7 7.6 17 4.1 20.7 2c4.3-.5 6.6.6 7.7 2.3-1.7 4-6.6 6.3-12.5 6.5Z" fill="#4a9470" />
      <path d="M16 11.2c1.7-2.7 4.4-4.9 7.7-6" stroke="#b9e0c6" strokeWidth="1.2" strokeLinecap="round" />
    </svg>
  );
}
