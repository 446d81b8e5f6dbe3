"""What must hold when processes are killed, databases go away and everybody asks at once.

Each module is a row of one table: several server processes on one store, something goes wrong, and
what the clients were promised is asserted. Timings are only printed, as one JSON line a row at the
end of the report. `CHAOS=long` runs every row as often as its promise is stated for.
"""
