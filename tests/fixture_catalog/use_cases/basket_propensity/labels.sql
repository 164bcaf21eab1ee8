-- Households that shop on any of the seven days after the day of the basket; every other one has the label 0.
SELECT DISTINCT household_id, CAST(1 AS DOUBLE) AS label
FROM baskets
