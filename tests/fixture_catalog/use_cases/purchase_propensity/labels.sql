-- Households that shop on any of the seven days from $as_of on; every other one has the label 0.
SELECT DISTINCT household_id, CAST(1 AS DOUBLE) AS label
FROM household_days
