-- One row per household whose demographics the customer database knows, its bands turned into ordered numbers.
SELECT
  household_id,
  -- Bands become their middle; the open one at the top becomes a value a little above its edge.
  CAST(CASE age
    WHEN '19-24' THEN 21.5 WHEN '25-34' THEN 29.5 WHEN '35-44' THEN 39.5
    WHEN '45-54' THEN 49.5 WHEN '55-64' THEN 59.5 WHEN '65+' THEN 70
  END AS DOUBLE) AS age_years,
  CAST(CASE income
    WHEN 'Under 15K' THEN 7.5 WHEN '15-24K' THEN 20 WHEN '25-34K' THEN 30 WHEN '35-49K' THEN 42.5
    WHEN '50-74K' THEN 62.5 WHEN '75-99K' THEN 87.5 WHEN '100-124K' THEN 112.5 WHEN '125-149K' THEN 137.5
    WHEN '150-174K' THEN 162.5 WHEN '175-199K' THEN 187.5 WHEN '200-249K' THEN 225 WHEN '250K+' THEN 300
  END AS DOUBLE) AS income_thousands,
  CAST(left(household_size, 1) AS INTEGER) AS persons,
  CAST(left(kids_count, 1) AS INTEGER) AS kids,
  CAST(CASE WHEN household_comp LIKE '2 Adults%' THEN 2 ELSE 1 END AS INTEGER) AS adults,
  marital_status = 'Married' AS is_married,
  home_ownership IN ('Homeowner', 'Probable Homeowner') AS is_homeowner
FROM demographics
